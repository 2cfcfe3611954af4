-- Runs once, as a superuser: gives the logins the passwords that lie in files on the server.
-- In a DO block, because the text of a plain ALTER ROLE can end up in the log or in pg_stat_activity.
do $$
declare
  folder text := coalesce(nullif(current_setting('behalf_demo.secrets', true), ''), '/run/secrets');
  login text;
  file text;
  password text;
begin
  for login, file in values
    ('shop_gateway', 'sandbox_password'),
    ('shop_statements', 'statements_password'),
    ('shop_keysync', 'keysync_password')
  loop
    -- The first line, as everybody else reads these files.
    password := rtrim(split_part(pg_read_file(folder || '/' || file), e'\n', 1), e'\r');
    if password = '' then
      raise exception '%/% is empty', folder, file using hint = 'Write the password of ' || login || ' into it.';
    end if;
    execute format('alter role %I password %L', login, password);
  end loop;
end
$$;
