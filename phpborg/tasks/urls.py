"""Addresses of this app."""

from django.urls import path

from phpborg.tasks import views

urlpatterns = [
    path("", views.task_list, name="tasks"),
    path("workers/", views.workers_page, name="workers"),
    path("<uuid:pk>/", views.task_page, name="task"),
    path("<uuid:pk>/log/", views.task_log, name="task-log"),
    path("<uuid:pk>/cancel/", views.task_cancel, name="task-cancel"),
    path("<uuid:pk>/retry/", views.task_retry, name="task-retry"),
]
