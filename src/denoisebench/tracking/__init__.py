"""Dashboards: views of rows."""
