-- Takes back what harden.sql did in this database, privilege by privilege: who could execute a function before,
-- can again, and nobody else. Run it as a superuser, before uninstall.sql. It may be run again, and does nothing
-- where nothing is hardened.
do $$
declare
  item record;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if to_regclass('behalf.hardening') is null then
    return;
  end if;
  for item in
    -- Before pg_upgrade, for another version, it may have had other parameters.
    select distinct h.object as name from behalf.hardening h where h.kind = 'function' and to_regprocedure(h.object) is not null
  loop
    execute (
      select string_agg(statement, '; ' order by step, statement) from (
        select 1 as step, format('revoke all on function %s from %s', item.name, case a.grantee when 0 then 'public' else quote_ident(r.rolname) end) as statement
        from pg_proc f cross join aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
        left join pg_roles r on r.oid = a.grantee
        where f.oid = to_regprocedure(item.name) and a.grantee <> f.proowner
        union all
        select 2, format('grant execute on function %s to %s', item.name, case h.grantee when 'public' then 'public' else quote_ident(h.grantee) end)
          || case when h.grantable then ' with grant option' else '' end
        from behalf.hardening h
        where h.kind = 'function' and h.object = item.name
          and (h.grantee = 'public' or exists (select from pg_roles r where r.rolname = h.grantee))
      ) as steps);
  end loop;
  for item in
    select h.object as login from behalf.hardening h join pg_roles r on r.rolname = h.object where h.kind = 'login'
  loop
    execute format('alter role %I in database %I reset temp_file_limit', item.login, current_database());
  end loop;
  delete from behalf.hardening;
end
$$;
