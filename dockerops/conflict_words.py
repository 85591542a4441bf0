"""The words of conflicts: what is in the way, and what to do. Facts are named placeholders."""

from __future__ import annotations

from django.utils.translation import gettext_noop

CONFLICTS = {
    "options": gettext_noop("These options do not go together."),
    "container_on_volume": gettext_noop("The container {name} is active and uses {used}."),
    "container_on_path": gettext_noop("The container {name} is active and sees {used}."),
    "swarm_task": gettext_noop("{name} is a task of Swarm: it cannot be stopped or created by itself."),
    "ourselves": gettext_noop(
        "phpBorg runs in {name}, or needs it: the restore would stop who carries it out, and not be undone either."
    ),
    "removes_itself": gettext_noop(
        "{name} removes itself when it is stopped (--rm): it could not be brought back if the restore failed."
    ),
    "project_running": gettext_noop(
        "The project {name} is running here: {active} of {count} containers would be replaced."
    ),
    "project_there": gettext_noop("The project {name} is here, stopped: {count} containers would be replaced."),
    "project_taken": gettext_noop(
        "{count} containers of a project {name} are here already ({container} is one): Compose would take both for one."
    ),
    "container_taken": gettext_noop("There is a container {name} already ({state})."),
    "aside_running": gettext_noop(
        "{name} was set aside by an earlier restore, and runs: it may write to the same volumes as its successor."
    ),
    "port_container": gettext_noop("{name} publishes port {port}/{protocol}, which the container {other} has."),
    "port_process": gettext_noop(
        "{name} publishes port {port}/{protocol}, on which another program of the server listens."
    ),
    "network_differs": gettext_noop(
        "The network {name} is here with other settings: addresses {there} instead of {wanted}."
    ),
    "network_missing": gettext_noop("The external network {name}, which {container} needs, is missing."),
    "network_created": gettext_noop("The external network {name} is missing and will be created."),
    "subnet_overlap": gettext_noop("The addresses {subnet} of the network {name} overlap with those of {other}."),
    "subnet_chosen": gettext_noop(
        "The network {name} gets other addresses: {other} has those that the engine had chosen."
    ),
    "addresses_dropped": gettext_noop(
        "In the network {name}, {containers} get other addresses than their static ones."
    ),
    "alias_shared": gettext_noop("{name} would answer in the network {network} to {aliases}, beside what is there."),
    "volume_there": gettext_noop("There is a volume {name} already; its content would be replaced."),
    "volume_files": gettext_noop(
        "{count} files or folders of the volume {name} would be put back over what is there under their names."
    ),
    "volume_missing": gettext_noop("The volume {name}, which {container} needs, is missing and not chosen."),
    "volume_differs": gettext_noop(
        "The volume {name} is here with another driver or other options ({there} instead of {wanted})."
    ),
    "volume_device": gettext_noop("The volume {name} is here, but its files lie in {there} instead of {wanted}."),
    "volume_empty": gettext_noop("The archive does not hold the content of the volume {name}: {reason}"),
    "volume_elsewhere": gettext_noop(
        "The content of the volume {name} is not put back: its driver {driver} tells where it is only while it is "
        "mounted. The volume is created if it is missing, and holds what its driver shows."
    ),
    "volume_memory": gettext_noop(
        "The volume {name} is in memory: what it held is not put back, since it is empty whenever it is used anew."
    ),
    "volume_read_only": gettext_noop("The volume {name} can only be read: its content is not put back."),
    "volume_same_place": gettext_noop(
        "The volume {name} would lead to the same place as the original, so its content is not put back: the copy "
        "and the original would share it."
    ),
    "volume_behind": gettext_noop(
        "The volume {name} leads to a place of its own ({kind}), also when it is created: what lies there would be "
        "replaced, for everybody who uses it, on other machines, too."
    ),
    "volume_held": gettext_noop(
        "The volume {name} ({kind}) is mounted by a container of ours while it is filled, and what it holds is kept "
        "aside inside it. If it cannot be mounted or written, the restore ends before anything is stopped."
    ),
    "volume_shared": gettext_noop("The volume {name} is also used by {other} (container {container})."),
    "shared_with_original": gettext_noop("{name} would use {used} together with what uses it now."),
    "container_missing": gettext_noop("{name} lives in the container {other}, which is neither here nor chosen."),
    "no_body": gettext_noop("The archive does not say how the container {name} is made; it will not be created."),
    "dependant": gettext_noop("{name} depends on {other}, which will be replaced."),
    "policy": gettext_noop("The administrator of this server does not allow a restore to {path}."),
    "system_path": gettext_noop(
        "{path} is a directory of the system, or holds what the engine lives on: it is not replaced."
    ),
    "path_there": gettext_noop("{path} is there already and would be replaced."),
    "bind_missing": gettext_noop("{name} binds {path}, which is neither here nor restored."),
    "image_missing": gettext_noop("The image {image} of {name} is not here and does not come from where it should."),
    "image_by_tag": gettext_noop(
        "The archive knows no digest of the image {image}: what its tag means today would be pulled."
    ),
    "image_tag": gettext_noop("The name {image} means another image here."),
    "space": gettext_noop(
        "{needed_bytes} are needed and {free_bytes} are free, of which {reserve_bytes} are left to the machine."
    ),
    "space_short": gettext_noop(
        "At least {needed_bytes} are needed and {free_bytes} are free; {reserve_bytes} of them are left to the machine."
    ),
    "space_at_least": gettext_noop(
        "At least {needed_bytes} are needed, and nobody knows how big the rest is; {free_bytes} are free."
    ),
    "space_unknown": gettext_noop("{needed_bytes} are needed; nobody could say how much is free."),
    "size_unknown": gettext_noop("Nobody knows how big {path} is in the archive."),
    "engine_older": gettext_noop("The Docker engine here is older ({there}) than the one of the archive ({then})."),
    "compose_older": gettext_noop("Compose is older here ({there}) than the one of the archive ({then})."),
    "compose_missing": gettext_noop(
        "Compose is not installed here, and the archive says only with it how its containers are made."
    ),
    "machine": gettext_noop("The archive was made on another kind of machine ({then}) than this one ({there})."),
    "swarm": gettext_noop("This engine is part of a Swarm; its services are not touched."),
    "other_host": gettext_noop("The archive was made on {then}; this is {there}."),
    "path_links": gettext_noop("A symbolic link lies on the way to {path}."),
    "host_access": gettext_noop("{name} would get this of the server itself: {access}."),
    "host_volume": gettext_noop("The volume {name} would be {path} of the server itself."),
    "system_target": gettext_noop("{path} lies where the server keeps what it carries out or trusts."),
}
REMEDIES = {
    "options_project_name": gettext_noop("Give a project name of small letters, digits, “-” and “_”."),
    "options_one_project": gettext_noop("Choose one project: only one can get another name at a time."),
    "options_suffix": gettext_noop("A suffix holds letters, digits, “.”, “-” and “_” only."),
    "options_path": gettext_noop("Give an absolute directory, without “..”."),
    "options_ports": gettext_noop("Choose another shift: ports go up to 65535."),
    "container_on_volume": gettext_noop("Agree that it is stopped meanwhile; it is started again."),
    "container_on_path": gettext_noop("Agree that it is stopped meanwhile; it is started again."),
    "swarm_task": gettext_noop("Scale its service to zero, or leave it out."),
    "ourselves": gettext_noop(
        "Restore under another project name, or use the script. If it is another phpBorg, stop it yourself first."
    ),
    "removes_itself": gettext_noop("Stop it yourself, or wait for its end, and have the server checked again."),
    "project_running": gettext_noop(
        "Agree that its containers are stopped and set aside, or restore under another project name."
    ),
    "project_there": gettext_noop("Agree that its containers are set aside, or restore under another project name."),
    "project_taken": gettext_noop("Choose another project name."),
    "container_taken": gettext_noop("Agree that it is stopped and set aside, or give a suffix."),
    "aside_running": gettext_noop("Stop it with docker stop, or remove that restore's protection."),
    "port_container": gettext_noop("Shift the ports, publish none, or stop that container yourself."),
    "port_process": gettext_noop("Shift the ports, publish none, or end that program."),
    "network_differs": gettext_noop("Restore under another project name, or remove the network first."),
    "network_missing": gettext_noop(
        "Allow that missing networks and volumes are created from the archive, or create it first."
    ),
    "subnet_overlap": gettext_noop("Agree that the engine chooses other addresses, or remove the other network first."),
    "alias_shared": gettext_noop("Agree that requests may reach the copy, or leave the container out."),
    "volume_there": gettext_noop("Agree that its content is replaced, or restore under another project name."),
    "volume_files": gettext_noop(
        "Agree that files of the same names are replaced. All others stay, also those in the chosen folders."
    ),
    "volume_missing": gettext_noop(
        "Choose the volume, or allow that missing networks and volumes are created from the archive."
    ),
    "volume_differs": gettext_noop("Restore under another project name, or remove the volume first."),
    "volume_device": gettext_noop("Restore under another project name, or remove the volume first; its files stay."),
    "volume_elsewhere": gettext_noop(
        "Agree that it is not filled, restore its content to another path and copy it in while it is mounted."
    ),
    "volume_memory": gettext_noop("Agree that it begins empty."),
    "volume_read_only": gettext_noop("Agree that it is not filled: put its content where it comes from."),
    "volume_same_place": gettext_noop(
        "Agree that it is not filled, or give the volume another place by hand after the restore."
    ),
    "volume_behind": gettext_noop(
        "Agree that it is replaced, or leave the volume out. What was there is kept aside inside it."
    ),
    "volume_held": gettext_noop("If its place cannot be reached now, leave the volume out."),
    "volume_shared": gettext_noop("Agree that it is replaced for all who use it."),
    "shared_with_original": gettext_noop("Choose it too, so that it gets a place of its own."),
    "container_missing": gettext_noop("Choose that container, too."),
    "no_body": gettext_noop("Start it by hand when its volumes and files are back."),
    "dependant": gettext_noop("It stays as it is; restart it if it does not find its way."),
    "policy": gettext_noop("Choose another path, or let the administrator change the policy."),
    "system_path": gettext_noop("Choose without it, or restore to another path."),
    "path_there": gettext_noop("Agree that it is replaced, or restore to another path."),
    "bind_missing": gettext_noop("Choose it too, or create it before."),
    "image_missing": gettext_noop("Have it pulled, load it before, or choose an archive with saved images."),
    "image_by_tag": gettext_noop("Check the version after the restore."),
    "image_tag": gettext_noop("Agree that it will mean the restored one; containers that are there keep theirs."),
    "space": gettext_noop("Free room, or choose less."),
    "space_short": gettext_noop("Free room, or choose less."),
    "space_at_least": gettext_noop("Make sure that there is room: when it runs out, the restore fails and is undone."),
    "compose_missing": gettext_noop("Install Compose, or restore the files only."),
    "machine": gettext_noop("Restore on a machine of the same kind."),
    "path_links": gettext_noop("Restore to another path."),
    "host_access": gettext_noop("Agree only if you trust the archive: it may lead to everything on the server."),
    "host_volume": gettext_noop("Agree only if you trust the archive: whoever mounts it sees this of the server."),
    "system_target": gettext_noop("Agree only if you trust the archive, or restore to another path."),
}
