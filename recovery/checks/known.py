"""Which checks there are for which product. One that is not here is not started for a proof (yet)."""

from __future__ import annotations

from recovery.checks import mongodb
from recovery.checks.base import Checker
from recovery.checks.mysql import MysqlChecks
from recovery.checks.postgresql import PostgresqlChecks
from recovery.checks.search import SearchChecks
from recovery.engines.base import Product

CHECKERS: dict[Product, Checker] = {
    Product.POSTGRESQL: PostgresqlChecks(),
    Product.MYSQL: MysqlChecks(),
    Product.MARIADB: MysqlChecks(),
    Product.MONGODB: mongodb.MongodbChecks(),
    Product.ELASTICSEARCH: SearchChecks(),
    Product.OPENSEARCH: SearchChecks(),
}
# What a proof's login needs beyond a session's, in the form of the product's own.
STATEMENTS: dict[Product, bytes] = {Product.MONGODB: mongodb.statements()}
