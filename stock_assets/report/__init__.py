"""The forecast report: rows in, one HTML page out. Reads no store, no settings and no clock."""
