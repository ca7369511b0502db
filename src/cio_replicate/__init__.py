"""Copy a Customer.io workspace into your own database, keep the copy true, and prove it."""

from cio_replicate.base.version import __version__ as __version__
