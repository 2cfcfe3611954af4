/** Whether a host is this machine itself by definition, and not by what a name resolves to. */
export function isLoopback(host: string): boolean {
  return /^(localhost|::1|127(\.\d{1,3}){3})$/.test(host);
}
