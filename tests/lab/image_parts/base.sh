# shellcheck shell=sh
# What every image of the laboratory has, before its packages.
useradd --create-home --shell /bin/bash --password '*' phpborg
# Each server gets an identity of its own when it starts.
rm -f /etc/ssh/ssh_host_*
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
