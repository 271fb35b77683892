"""The Streamlit dashboard, one page a module."""
