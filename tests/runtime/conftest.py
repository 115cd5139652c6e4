"""Tests of the runtime share functions through test_session.py."""
