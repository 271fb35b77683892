"""The dashboard's entry: which pages there are. Streamlit runs this file for every viewer."""

import streamlit as st

from apps.dashboard import (
    alerts,
    anomalies,
    explore,
    home,
    outlook,
    session,
    sessions,
    system,
    theme,
    viewer,
    viewing,
)

st.set_page_config(page_title="Mainstem", page_icon=str(theme.ICON), layout="wide")
st.logo(str(theme.ICON), size="large")
st.html(theme.STYLES)
viewer.admit()
chosen = st.navigation(
    [
        st.Page(home.page, title="Overview", url_path="overview", default=True),
        st.Page(sessions.page, title="Sessions", url_path="sessions"),
        st.Page(session.page, title="Session", url_path="session", visibility="hidden"),
        st.Page(alerts.page, title="Alerts", url_path="alerts"),
        st.Page(anomalies.page, title="Anomalies", url_path="anomalies"),
        st.Page(outlook.page, title="Forecasts", url_path="forecasts"),
        st.Page(explore.page, title="Explore", url_path="explore"),
        st.Page(system.page, title="System", url_path="system"),
    ],
    position="top",
)
viewing.tenant_picker()
chosen.run()
