export const USAGE = `usage: behalf COMMAND

  behalf serve --config FILE                    serve agents over MCP
  behalf config check --config FILE [--offline] say what is wrong with a configuration
  behalf config schema                          print its JSON Schema, for editors
  behalf --help | --version

--offline asks neither the issuers nor the database. FILE is YAML; see docs/gateway.md.
Exit: 0 done, 1 the configuration or the start failed, 2 wrong usage.`;
