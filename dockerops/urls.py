"""Addresses of this app."""

from django.urls import path

from dockerops.views import beginning, choosing, colliding, deciding, picking, records, reviewing

_ONE = "docker-restores/<uuid:pk>/"

urlpatterns = [
    path("archives/<uuid:pk>/docker/", beginning.docker_begin, name="docker-begin"),
    path("docker-restores/", records.docker_restores, name="docker-restores"),
    path(_ONE, records.docker_restore, name="docker-restore"),
    path(_ONE + "archive/", beginning.docker_archive, name="docker-archive"),
    path(_ONE + "contents/", beginning.docker_contents, name="docker-contents"),
    path(_ONE + "choice/", choosing.docker_choice, name="docker-choice"),
    path(_ONE + "files/", picking.docker_files, name="docker-files"),
    path(_ONE + "conflicts/", colliding.docker_conflicts, name="docker-conflicts"),
    path(_ONE + "options/", deciding.docker_options, name="docker-options"),
    path(_ONE + "review/", reviewing.docker_review, name="docker-review"),
    path(_ONE + "script/", reviewing.docker_script, name="docker-script"),
    path(_ONE + "start/", reviewing.docker_start, name="docker-start"),
    path(_ONE + "rollback/", records.docker_rollback, name="docker-rollback"),
    path(_ONE + "forget/", records.docker_forget, name="docker-forget"),
    path(_ONE + "discard/", records.docker_discard, name="docker-discard"),
]
