"""Addresses of pools and repositories."""

from django.urls import path

from backups.views import storage, storage_actions, storage_keys, storage_pools, storage_repository

_ONE = "storage/repositories/<uuid:pk>/"
urlpatterns = [
    path("storage/", storage.repositories, name="repositories"),
    path("storage/trash/", storage.storage_trash, name="storage-trash"),
    path("storage/pools/", storage.pools, name="pools"),
    path("storage/pools/new/", storage_pools.pool_new, name="pool-new"),
    path("storage/pools/<uuid:pk>/", storage_pools.pool, name="pool"),
    path("storage/pools/<uuid:pk>/edit/", storage_pools.pool_edit, name="pool-edit"),
    path("storage/pools/<uuid:pk>/default/", storage_pools.pool_default, name="pool-default"),
    path("storage/pools/<uuid:pk>/analyse/", storage_pools.pool_analyse, name="pool-analyse"),
    path("storage/pools/<uuid:pk>/remove/", storage_pools.pool_remove, name="pool-remove"),
    path("storage/repositories/new/", storage_repository.repository_new, name="repository-new"),
    path(_ONE, storage_repository.repository, name="repository"),
    path(f"{_ONE}passphrase/once/", storage_repository.repository_passphrase_once, name="repository-passphrase-once"),
    path(f"{_ONE}passphrase/", storage_repository.repository_passphrase, name="repository-passphrase"),
    path(f"{_ONE}edit/", storage_repository.repository_edit, name="repository-edit"),
    path(f"{_ONE}move/", storage_repository.repository_move, name="repository-move"),
    path(f"{_ONE}key/", storage_keys.repository_key, name="repository-key"),
    path(f"{_ONE}key/download/", storage_keys.repository_key_download, name="repository-key-download"),
    path(f"{_ONE}key/kept/", storage_keys.repository_key_kept, name="repository-key-kept"),
    path(f"{_ONE}sheet/", storage_keys.repository_sheet, name="repository-sheet"),
    path(f"{_ONE}sync/", storage_actions.repository_sync, name="repository-sync"),
    path(f"{_ONE}measure/", storage_actions.repository_measure, name="repository-measure"),
    path(f"{_ONE}check/", storage_actions.repository_check, name="repository-check"),
    path(f"{_ONE}compact/", storage_actions.repository_compact, name="repository-compact"),
    path(f"{_ONE}accept-older/", storage_actions.repository_accept_older, name="repository-accept-older"),
    path(f"{_ONE}break-lock/", storage_actions.repository_break_lock, name="repository-break-lock"),
    path(f"{_ONE}trash/", storage_actions.repository_trash, name="repository-trash"),
    path(f"{_ONE}untrash/", storage_actions.repository_untrash, name="repository-untrash"),
    path(f"{_ONE}purge/", storage_actions.repository_purge, name="repository-purge"),
]
