-- A publication FOR ALL TABLES would also send the tables of the kit. Its subscribers do not have them and would
-- stop at the first row ("logical replication target relation ... does not exist"), with everything of the
-- application behind it; and whoever reads the stream would read the keys.
do $$
declare
  publications pg_catalog.text;
begin
  select pg_catalog.string_agg(pg_catalog.quote_ident(p.pubname), ', ') into publications
  from pg_catalog.pg_publication p where p.puballtables;
  -- Where the kit is there already, its subscribers have got past this.
  if publications is not null and pg_catalog.to_regclass('behalf.secrets') is null
     and pg_catalog.current_setting('behalf.all_tables_publication', true) is distinct from 'known' then
    raise exception 'behalf: publication % is FOR ALL TABLES, and would stop its subscribers and send the kit''s keys', publications
      using hint = 'Publish your schemas instead (FOR TABLES IN SCHEMA). Or install the kit in every subscribing database first, '
        'trust whoever else reads the stream with the keys, and then: set behalf.all_tables_publication = ''known''.';
  end if;
end
$$;
