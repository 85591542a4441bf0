# shellcheck shell=sh
# As the package leaves it: root signs in by the socket, /etc/mysql/debian.cnf says so.
printf '[mariadbd]\nbind-address = 127.0.0.22\n' >/etc/mysql/mariadb.conf.d/90-lab.cnf
install -m 0755 /lab/lab-init /usr/local/sbin/lab-init
install -m 0644 /lab/sshd_config /etc/ssh/sshd_config
