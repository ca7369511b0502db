"""The control database: tables, migrations, audit log."""
