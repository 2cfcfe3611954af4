/**
 * What can give a setting a name of its own: `set_config`, however it is written, and whatever runs a text
 * that it is handed. `U&"..."` can spell every name otherwise; nothing else in a statement can.
 */
const CAN_NAME_SETTINGS =
  /set_config|u&"|(?:query|cursor)_to_xml|ts_stat|ts_rewrite|crosstab|connectby|xpath_table|dblink/i;

/**
 * Whether a text may leave the name of a setting on its connection. PostgreSQL keeps every name that somebody
 * made up until the connection ends, also over ROLLBACK, RESET ALL and DISCARD ALL, and only who knows it can
 * ask for it: two agents could tell one another something across humans. No query finds such names, so the
 * text decides, and one that merely mentions such a function costs its connection, too.
 */
export function mayNameSettings(text: string): boolean {
  return CAN_NAME_SETTINGS.test(text);
}
