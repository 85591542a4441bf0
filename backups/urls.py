"""Addresses of this app."""

from django.urls import path

from backups import urls_storage
from backups.views import archives, jobs, wizard

urlpatterns = [
    path("jobs/", jobs.jobs_page, name="jobs"),
    path("jobs/bulk/", jobs.jobs_bulk, name="jobs-bulk"),
    path("jobs/new/", wizard.job_wizard, name="job-wizard"),
    path("jobs/drafts/<uuid:pk>/<slug:step>/", wizard.job_wizard_step, name="job-wizard-step"),
    path("jobs/drafts/<uuid:pk>/schedule/runs/", wizard.job_wizard_runs, name="job-wizard-runs"),
    path("jobs/drafts/<uuid:pk>/", wizard.job_draft_delete, name="job-draft-delete"),
    path("jobs/<uuid:pk>/", jobs.job_page, name="job"),
    path("jobs/<uuid:pk>/run/", jobs.job_run, name="job-run"),
    path("jobs/<uuid:pk>/enable/", jobs.job_enable, name="job-enable"),
    path("jobs/<uuid:pk>/edit/", wizard.job_edit, name="job-edit"),
    path("jobs/<uuid:pk>/delete/", jobs.job_delete, name="job-delete"),
    path("archives/", archives.archives_page, name="archives"),
    path("archives/bulk/", archives.archives_bulk, name="archives-bulk"),
    path("archives/<uuid:pk>/", archives.archive_page, name="archive"),
    path("archives/<uuid:pk>/pin/", archives.archive_pin, name="archive-pin"),
    path("archives/<uuid:pk>/details/", archives.archive_details, name="archive-details"),
    path("archives/<uuid:pk>/trash/", archives.archive_trash, name="archive-trash"),
    path("archives/<uuid:pk>/purge/", archives.archive_purge, name="archive-purge"),
    *urls_storage.urlpatterns,
]
