-- Runs once, when the data directory is made: the in-database kit goes into POSTGRES_DB.
\i /usr/share/behalf/sql/install.sql
