-- Installs the kit, or brings an older one up to date. Run it with psql as a superuser, or as a login that
-- owns the database and has CREATEROLE:
--   psql -v ON_ERROR_STOP=1 -f install.sql
-- It is one transaction and may be run again at any time; keys, roles and settings stay as they are.
\set ON_ERROR_STOP on
begin;
\ir 00_publications.sql
\ir 01_roles.sql
\ir 02_tables.sql
\ir 03_hmac.sql
\ir 04_rs256.sql
\ir 05_exchange.sql
\ir 06_start.sql
\ir 07_sandbox.sql
\ir 08_write.sql
\ir 09_statement.sql
\ir 10_admin.sql
\ir 11_compatibility.sql
\ir 11_preflight.sql
\ir 99_grants.sql
commit;
