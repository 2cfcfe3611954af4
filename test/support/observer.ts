import type pg from "pg";

/**
 * Makes the database count, for each human and organisation, the rows that the policy let through. The
 * counts are the server's own function statistics: they survive the ROLLBACK of the reads, and a
 * connection of the test's own reads them.
 */
export const OBSERVER = `
  create schema observer;
  do $$
  declare pair record;
  begin
    for pair in
      select human, org from unnest(array['alice', 'bob', 'carol', 'dan']) human,
        unnest(array['acme', 'globex', 'initech', 'umbrella']) org
    loop
      execute format('create function observer.%I() returns boolean language plpgsql as $f$begin return true; end$f$',
        pair.human || ' saw ' || pair.org);
    end loop;
  end $$;
  create function observer.saw(human text, org text) returns boolean language plpgsql set search_path = pg_catalog as $$
  declare answer boolean;
  begin
    execute format('select observer.%I()', human || ' saw ' || org) into answer;
    return answer;
  end $$;
  grant usage on schema observer to behalf_agents;
  drop policy agents_read on orders;
  create policy agents_read on orders for select to behalf_agents using (
    org_id = (select behalf.claim('org_id')) and observer.saw((select behalf.claim('sub')), org_id));
`;

/** Who saw rows of whom, by the server's own word. Sessions write their statistics when they end. */
export async function whoSawWhat(admin: pg.Client): Promise<readonly string[]> {
  const { rows } = await admin.query<{ funcname: string }>(
    "select funcname from pg_stat_user_functions where schemaname = 'observer' and funcname like '% saw %' and calls > 0 order by 1",
  );
  return rows.map(({ funcname }) => funcname);
}
