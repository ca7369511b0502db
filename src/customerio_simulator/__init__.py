"""An independent stand-in for the Customer.io App API; it shares no code with the client it tests."""

from .faults import Fault, Faults
from .server import Simulator, serve
from .spec import WorkspaceSpec

__all__ = ["Fault", "Faults", "Simulator", "WorkspaceSpec", "serve"]
