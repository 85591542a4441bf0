# shellcheck shell=sh
# As the package leaves it: root signs in by the socket, /etc/mysql/debian.cnf says so. Another port it chose only
# because a server of the machine that builds had the usual one.
rm -f /etc/mysql/mysql.conf.d/99-port-backoff.cnf
printf '[mysqld]\nport = 3306\nbind-address = 127.0.0.25\nmysqlx = OFF\n' >/etc/mysql/mysql.conf.d/zz-lab.cnf
# Its package is for systemd alone.
cat >/etc/init.d/mysql <<'EOF'
#!/bin/sh
case "$1" in
start)
    install -d -o mysql -g mysql -m 0755 /run/mysqld
    exec mysqld --user=mysql --daemonize --pid-file=/run/mysqld/mysqld.pid
    ;;
stop) exec mysqladmin --no-defaults --socket=/run/mysqld/mysqld.sock shutdown ;;
esac
EOF
chmod 0755 /etc/init.d/mysql
install -m 0755 /lab/lab-init /usr/local/sbin/lab-init
install -m 0644 /lab/sshd_config /etc/ssh/sshd_config
