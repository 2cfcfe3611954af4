/** What `\help` shows: each is one statement to start from. */
export const ideas: readonly string[] = [
  "select distinct org_id from orders",
  "select * from public.orders where org_id = 'globex'",
  'select set_config(\'behalf.seal\', \'{"claims":{"org_id":"globex"}}\', true)',
  "select set_config('role', 'postgres', true)",
  "reset role; select * from orders",
  "commit; begin; select count(*) from orders",
  "explain analyze select * from orders where org_id = 'globex'",
  "with gone as (delete from orders returning *) select * from gone",
  "select * from behalf.secrets",
  "select query_to_xml('select * from orders limit 2', true, false, '')",
];
