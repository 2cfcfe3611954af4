const RESERVED: readonly string[] = [
  "data_directory",
  "hba_file",
  "listen_addresses",
  "logging_collector",
  "port",
  "unix_socket_directories",
];

// The data is thrown away, so nothing is forced to the disk. dynamic_shared_memory_type: what the
// default (posix) leaves in /dev/shm after a kill -9 of the server would stay for ever; as files
// they go with the data directory.
const DEFAULTS: Readonly<Record<string, string>> = {
  dynamic_shared_memory_type: "mmap",
  fsync: "off",
  full_page_writes: "off",
  log_timezone: "UTC",
  synchronous_commit: "off",
  timezone: "UTC",
};

/**
 * The lines to append to postgresql.conf.
 *
 * @throws Error when a name is none, or is one that the server's place on this machine depends on.
 */
export function settingsFile(settings: Readonly<Record<string, string>>): string {
  for (const name of Object.keys(settings)) {
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) {
      throw new Error(`[@behalf/local] ${JSON.stringify(name)} is no name of a PostgreSQL setting`);
    }
    if (RESERVED.includes(name.toLowerCase())) {
      throw new Error(
        `[@behalf/local] the setting ${name} belongs to the local server itself: leave it out of \`settings\``,
      );
    }
  }
  const all = {
    ...DEFAULTS,
    ...settings,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
  };
  return Object.entries(all)
    .map(([name, value]) => `${name} = ${quote(name, value)}\n`)
    .join("");
}

function quote(name: string, value: string): string {
  if (/[\0\r\n]/.test(value)) {
    throw new Error(`[@behalf/local] the value of the setting ${name} must be one line`);
  }
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}
