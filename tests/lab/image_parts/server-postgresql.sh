# shellcheck shell=sh
# Two clusters: an ordinary one, and one with all that is awkward (port, blank, tablespace elsewhere).
pg_createcluster --locale C.UTF-8 --port 5432 15 main
mkdir -p "/srv/pg data"
chown postgres:postgres "/srv/pg data"
pg_createcluster --locale C.UTF-8 --port 5433 --datadir "/srv/pg data/second" 15 second
for cluster in main second; do
    echo "listen_addresses = '127.0.0.21'" >"/etc/postgresql/15/$cluster/conf.d/lab.conf"
done
install -d -o postgres -g postgres -m 0700 /srv/tablespace
pg_ctlcluster 15 second start
runuser -u postgres -- psql -p 5433 -c "CREATE TABLESPACE outside LOCATION '/srv/tablespace'"
pg_ctlcluster 15 second stop
install -m 0755 /lab/lab-init /usr/local/sbin/lab-init
install -m 0644 /lab/sshd_config /etc/ssh/sshd_config
