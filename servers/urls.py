"""Addresses of the servers' pages."""

from django.urls import path

from servers.views import add, capabilities, fleet, removal, server, statistics

urlpatterns = [
    path("", fleet.servers, name="servers"),
    path("bulk/", fleet.servers_bulk, name="servers-bulk"),
    path("add/", add.server_add, name="server-add"),
    path("add-this-machine/", add.server_add_local, name="server-add-local"),
    path("<uuid:pk>/", server.server, name="server"),
    path("<uuid:pk>/enrol/", add.server_enrol, name="server-enrol"),
    path("<uuid:pk>/host-key/", add.server_host_key, name="server-host-key"),
    path("<uuid:pk>/approve/", add.server_approve, name="server-approve"),
    path("<uuid:pk>/password/", add.server_password, name="server-password"),
    path("<uuid:pk>/setup/", server.server_setup, name="server-setup"),
    path("<uuid:pk>/edit/", server.server_edit, name="server-edit"),
    path("<uuid:pk>/mode/", server.server_mode, name="server-mode"),
    path("<uuid:pk>/statistics/", statistics.server_statistics, name="server-statistics"),
    path("<uuid:pk>/run-all/", server.server_run_all, name="server-run-all"),
    path("<uuid:pk>/capabilities/", capabilities.server_capabilities, name="server-capabilities"),
    path("<uuid:pk>/capabilities/reload/", capabilities.server_capabilities_reload, name="server-capabilities-reload"),
    path("<uuid:pk>/remove/", removal.server_remove, name="server-remove"),
]
