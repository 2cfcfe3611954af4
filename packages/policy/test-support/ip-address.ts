/** An address with its prefix, as Cedar's ipaddr. */
export interface Address {
  readonly bits: 32 | 128;
  readonly address: bigint;
  readonly prefix: number;
}

export function parseIp(text: string): Address {
  const [address = "", prefix] = text.split("/");
  if (address.includes(":")) {
    const [head = "", tail] = address.split("::");
    const groups = (part: string) => (part === "" ? [] : part.split(":"));
    const first = groups(head);
    const last = groups(tail ?? "");
    const zeros = Array<string>(tail === undefined ? 0 : 8 - first.length - last.length).fill("0");
    const value = [...first, ...zeros, ...last].reduce(
      (sum, group) => (sum << 16n) + BigInt(`0x${group}`),
      0n,
    );
    return { bits: 128, address: value, prefix: Number(prefix ?? 128) };
  }
  const value = address.split(".").reduce((sum, part) => (sum << 8n) + BigInt(part), 0n);
  return { bits: 32, address: value, prefix: Number(prefix ?? 32) };
}

const network = ({ bits, address, prefix }: Address) =>
  (address >> BigInt(bits - prefix)) << BigInt(bits - prefix);

export function inRange(ip: Address, range: Address): boolean {
  return (
    ip.bits === range.bits &&
    ip.prefix >= range.prefix &&
    network({ ...ip, prefix: range.prefix }) === network(range)
  );
}

export function ipHas(ip: Address, property: "ipv4" | "ipv6" | "loopback" | "multicast"): boolean {
  switch (property) {
    case "ipv4":
      return ip.bits === 32;
    case "ipv6":
      return ip.bits === 128;
    case "loopback":
      return inRange(ip, parseIp(ip.bits === 32 ? "127.0.0.0/8" : "::1/128"));
    case "multicast":
    default:
      return inRange(ip, parseIp(ip.bits === 32 ? "224.0.0.0/4" : "ff00::/8"));
  }
}
