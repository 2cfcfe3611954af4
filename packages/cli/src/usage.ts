export const USAGE = `usage: behalf COMMAND

  behalf serve --config FILE                    serve agents over MCP
  behalf config check --config FILE [--offline] say what is wrong with a configuration
  behalf config schema                          print its JSON Schema, for editors
  behalf calls --running [--json] [--url URL] (--records FILE ... | --config FILE)
                                                say whose calls the database runs now
  behalf --help | --version

--offline asks neither the issuers nor the database. --config is YAML; see docs/gateway.md.
--records is what a gateway writes; it may be given several times. URL is a DBA's or a monitoring login's,
better in BEHALF_MONITOR_URL, because a command line is no place for its password; see docs/postgres.md.
Exit: 0 done, 1 the configuration or the start failed, 2 wrong usage.`;
