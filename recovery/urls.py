"""Addresses of this app."""

from django.urls import path

from recovery.views import adminer, browsing, loading, proving, restoring, sessions, starting

urlpatterns = [
    path("archives/<uuid:pk>/browse/", browsing.browse, name="browse"),
    path("archives/<uuid:pk>/browse/open/", browsing.browse_open, name="browse-open"),
    path("archives/<uuid:pk>/browse/close/", browsing.browse_close, name="browse-close"),
    path("archives/<uuid:pk>/browse/select/", browsing.browse_select, name="browse-select"),
    path("archives/<uuid:pk>/file/", browsing.browse_file, name="browse-file"),
    path("archives/<uuid:pk>/picture/", browsing.browse_picture, name="browse-picture"),
    path("archives/<uuid:pk>/download/", browsing.browse_download, name="browse-download"),
    path("archives/<uuid:pk>/restore/", restoring.restore_wizard, name="restore-wizard"),
    path("archives/<uuid:pk>/load/", loading.load_begin, name="load-begin"),
    path("archives/<uuid:pk>/restore/files/", loading.files_begin, name="restore-database-files"),
    path("archives/<uuid:pk>/instant/", starting.instant, name="instant"),
    path("archives/<uuid:pk>/instant/look/", starting.instant_look, name="instant-look"),
    path("archives/<uuid:pk>/instant/start/", starting.instant_start, name="instant-start"),
    path("sessions/", sessions.sessions_page, name="sessions"),
    path("sessions/<uuid:pk>/", sessions.session_page, name="session"),
    path("sessions/of/<uuid:pk>/", sessions.session_of_task, name="session-of-task"),
    path("sessions/<uuid:pk>/extend/", sessions.session_extend, name="session-extend"),
    path("sessions/<uuid:pk>/stop/", sessions.session_stop, name="session-stop"),
    path("sessions/<uuid:pk>/password/", sessions.session_password, name="session-password"),
    path("sessions/<uuid:pk>/adminer/", adminer.adminer, name="adminer"),
    path("restores/", restoring.restores_page, name="restores"),
    path("restores/<uuid:pk>/", restoring.restore, name="restore"),
    path("restores/<uuid:pk>/options/", restoring.restore_options, name="restore-options"),
    path("restores/<uuid:pk>/remove/", restoring.restore_remove, name="restore-remove"),
    path("restores/<uuid:pk>/start/", restoring.restore_start, name="restore-start"),
    path("restores/<uuid:pk>/load/", loading.load_options, name="load-options"),
    path("restores/<uuid:pk>/load/start/", loading.load_start, name="load-start"),
    path("restores/<uuid:pk>/discard/", restoring.restore_discard, name="restore-discard"),
    path("proofs/", proving.proofs_page, name="proofs"),
    path("proofs/<uuid:pk>/", proving.proof_page, name="proof"),
    path("archives/<uuid:pk>/prove/", proving.archive_prove, name="archive-prove"),
    path("jobs/<uuid:pk>/proofs/", proving.job_proofs, name="job-proofs"),
    path("jobs/<uuid:pk>/proofs/run/", proving.job_prove, name="job-prove"),
    path("jobs/<uuid:pk>/proofs/plan/", proving.job_proof_plan, name="job-proof-plan"),
    path("jobs/<uuid:pk>/proofs/plan/runs/", proving.job_proof_runs, name="job-proof-runs"),
    path("jobs/<uuid:pk>/proofs/plan/remove/", proving.job_proof_remove, name="job-proof-remove"),
]
