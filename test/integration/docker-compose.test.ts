import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { composeFile, dockerFolder } from "../support/compose-file.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const BEHALF_SECRETS = "/secrets";
const compose = composeFile({ BEHALF_SECRETS });
const services = Object.entries(compose.services);
const dockerfiles = new Map(
  services.map(([name, { build }]) => [name, readFileSync(join(root, build.dockerfile), "utf8")]),
);

describe("docker/compose.yaml", () => {
  it("refuses to start without a folder of secrets, and says how to make one", () => {
    expect(() => composeFile({})).toThrow(/BEHALF_SECRETS .*docker\/make-secrets\.sh/);
  });

  it("publishes the gateway and the provider, on loopback alone", () => {
    const ports = services.flatMap(([name, service]) =>
      (service.ports ?? []).map((port) => [name, port]),
    );
    expect(ports).toEqual([
      ["loopback", "127.0.0.1:9000:9000"],
      ["loopback", "127.0.0.1:8080:8080"],
    ]);
    for (const name of ["openid", "keysync", "gateway"]) {
      expect(compose.services[name]?.network_mode).toBe("service:loopback");
    }
    expect(compose.networks["data"]?.internal).toBe(true);
    expect(compose.services["postgres"]?.networks).toEqual(["data"]);
    expect(compose.services["pgbouncer"]?.networks).toEqual(["data"]);
  });

  it("names one issuer inside and outside, also on another port", () => {
    const other = composeFile({ BEHALF_SECRETS, BEHALF_ISSUER_PORT: "9100", BEHALF_PORT: "8100" });
    const { loopback, openid, gateway, keysync, postgres } = other.services;
    expect(loopback?.ports).toEqual(["127.0.0.1:9100:9100", "127.0.0.1:8100:8080"]);
    expect(openid?.environment?.["LISTEN_PORT"]).toBe("9100");
    const issuer = "http://127.0.0.1:9100";
    expect(gateway?.environment?.["BEHALF_ISSUER"]).toBe(issuer);
    expect(keysync?.environment?.["BEHALF_ISSUER"]).toBe(issuer);
    expect(postgres?.environment?.["PGOPTIONS"]).toBe(`-c behalf_demo.issuer=${issuer}`);
    expect(gateway?.environment?.["BEHALF_PUBLIC_URL"]).toBe("http://127.0.0.1:8100/mcp");
  });

  it("gives each service the secrets that it needs, and the gateway no key synchronisation's", () => {
    const given = Object.fromEntries(services.map(([name, { secrets = [] }]) => [name, secrets]));
    expect(given).toEqual({
      loopback: [],
      postgres: [
        "postgres_password",
        "sandbox_password",
        "statements_password",
        "keysync_password",
      ],
      pgbouncer: ["sandbox_password", "statements_password"],
      openid: ["gateway_secret", "assistant_secret"],
      keysync: ["keysync_password"],
      gateway: ["gateway_secret", "sandbox_password", "statements_password"],
    });
    for (const [name, { file }] of Object.entries(compose.secrets)) {
      expect(file).toBe(`${BEHALF_SECRETS}/${name}`);
    }
  });

  it("holds no secret itself", () => {
    for (const [name, { environment = {} }] of services) {
      for (const [key, value] of Object.entries(environment)) {
        expect(`${name} ${key}`).not.toMatch(/(PASSWORD|SECRET|TOKEN|KEY)$/);
        expect(value, key).not.toMatch(/:\/\/[^/]*@/);
      }
    }
    const plain: string[] = [];
    for (const file of readdirSync(dockerFolder, { recursive: true, encoding: "utf8" })) {
      const path = join(dockerFolder, file);
      if (file.includes("node_modules") || file.startsWith("secrets") || !statSync(path).isFile()) {
        continue;
      }
      const text = readFileSync(path, "utf8").replaceAll(/^ *(#|--).*$/gm, "");
      expect(text, file).not.toMatch(/password[ :=]+'[^'%]/i);
      expect(text, file).not.toMatch(/(clientSecret|password): *["']\w/i);
      if (file.endsWith(".yaml")) plain.push(text);
    }
    for (const text of plain) expect(text).not.toMatch(/(clientSecret|password): *\w/i);
  });

  it("lets nothing run that has not what it needs, and says how it is", () => {
    const waits = Object.fromEntries(
      services.map(([name, { depends_on = {} }]) => [name, Object.keys(depends_on)]),
    );
    expect(waits).toEqual({
      postgres: [],
      pgbouncer: ["postgres"],
      loopback: [],
      openid: ["loopback"],
      keysync: ["loopback", "postgres", "openid"],
      gateway: ["loopback", "pgbouncer", "openid", "keysync"],
    });
    for (const [name, { depends_on = {}, healthcheck }] of services) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        expect(condition).toBe(other === "loopback" ? "service_started" : "service_healthy");
      }
      expect(
        healthcheck !== undefined || dockerfiles.get(name)?.includes("\nHEALTHCHECK ") === true,
        name,
      ).toBe(true);
    }
  });

  it("lets no service but PostgreSQL write outside of volumes, or be root", () => {
    for (const [name, { read_only, cap_drop }] of services) {
      if (name === "postgres") continue;
      expect([name, read_only, cap_drop]).toEqual([name, true, ["ALL"]]);
      expect(dockerfiles.get(name), name).toMatch(/^USER (node|pooler)$/m);
    }
  });

  it("mounts files that are there", () => {
    for (const [, { volumes = [] }] of services) {
      for (const volume of volumes) {
        const [source = ""] = volume.split(":");
        const isThere = source.startsWith(".")
          ? statSync(join(dockerFolder, source)).isFile()
          : source in compose.volumes;
        expect(isThere, volume).toBe(true);
      }
    }
  });

  it("is what docker compose takes", ({ skip }) => {
    const { status } = spawnSync("docker", ["compose", "version"], { stdio: "ignore" });
    if (status !== 0) {
      console.log("SKIPPED: docker compose config, because there is no docker compose here");
      skip("there is no docker compose here");
    }
    const config = (env: Readonly<Record<string, string>>) =>
      spawnSync("docker", ["compose", "-f", join(dockerFolder, "compose.yaml"), "config", "-q"], {
        env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...env },
        encoding: "utf8",
      });
    expect(config({ BEHALF_SECRETS }).stderr).toBe("");
    expect(config({}).stderr).toContain("docker/make-secrets.sh");
  });
});

describe("the Dockerfiles", () => {
  const pnpm = /const PNPM = "(.+)";/.exec(read("scripts/bootstrap.mjs"))?.[1];
  const node = /^nodeVersion: (\S+)$/m.exec(read("pnpm-workspace.yaml"))?.[1];
  const nodeImage = `node:${node}-bookworm-slim`;

  it("pin what they are made of, as the workspace does", () => {
    for (const [name, text] of dockerfiles) {
      for (const [, image = ""] of text.matchAll(/^FROM (\S+)/gm)) {
        expect(image, name).toMatch(/^(node|debian|postgres):\d+\.\d+[.\d]*(-\w+)*$/);
      }
      const nodes = [...text.matchAll(/^FROM (node:\S+)/gm)].map(([, image]) => image);
      expect(new Set([...nodes, nodeImage]), name).toEqual(new Set([nodeImage]));
      expect(text, name).not.toMatch(/npx --yes \S+ install (?!--frozen-lockfile --prod )/);
      for (const [, used] of text.matchAll(/npx --yes (\S+)/g)) expect(used).toBe(pnpm);
    }
  });

  it("copy what is there, and .dockerignore lets through exactly that", () => {
    const kept = read(".dockerignore")
      .split("\n")
      .flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : []));
    // The older builder does not find what stands behind a pattern.
    expect(kept.filter((path) => path.includes("*"))).toEqual([]);
    const copied = new Set<string>();
    for (const text of dockerfiles.values()) {
      for (const [, line = ""] of text.matchAll(/^COPY (?!--from)(.+)$/gm)) {
        for (const source of line.split(" ").slice(0, -1)) copied.add(source);
      }
    }
    for (const source of copied) expect(existsSync(join(root, source)), source).toBe(true);
    expect(kept.toSorted()).toEqual([...copied].toSorted());
  });

  it("copy every package that theirs is made of", () => {
    for (const [name, text] of dockerfiles) {
      if (!text.includes("pnpm@")) continue;
      const start = /--filter "(.+)\.\.\."/.exec(text)?.[1] ?? "";
      const needed = new Set<string>();
      const visit = (wanted: string) => {
        const folder = folderOf(wanted);
        if (needed.has(folder)) return;
        needed.add(folder);
        const { dependencies = {} } = JSON.parse(read(`${folder}/package.json`)) as {
          dependencies?: Record<string, string>;
        };
        for (const [dependency, range] of Object.entries(dependencies)) {
          if (range.startsWith("workspace:")) visit(dependency);
        }
      };
      visit(start);
      const copied = [...text.matchAll(/^COPY (\S+)\/package\.json /gm)].map(
        ([, folder]) => folder,
      );
      expect(new Set(copied), name).toEqual(needed);
      for (const folder of needed)
        expect(text, name).toMatch(new RegExp(`^COPY ${folder}/\\S+ `, "m"));
    }
  });

  it("run their command without a shell, so that signals reach it", () => {
    for (const [name, text] of dockerfiles) {
      for (const [, value] of text.matchAll(/^(?:ENTRYPOINT|CMD|\s+CMD) (.+)$/gm)) {
        expect(() => JSON.parse(value ?? ""), name).not.toThrow();
      }
    }
    expect(dockerfiles.get("gateway")).toContain(
      'CMD ["serve", "--config", "/etc/behalf/behalf.yaml"]',
    );
    expect(dockerfiles.get("gateway")).toContain("/healthz");
  });
});

describe("docker/make-secrets.sh", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "behalf-secrets-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("makes every secret once, in a folder that only its owner may enter", () => {
    const made = join(folder, "secrets");
    const run = () => execFileSync(join(dockerFolder, "make-secrets.sh"), [made]);
    run();
    const content = () =>
      readdirSync(made)
        .toSorted()
        .map((name) => [name, readFileSync(join(made, name), "utf8")] as const);
    const first = content();
    expect(first.map(([name]) => name)).toEqual(Object.keys(compose.secrets).toSorted());
    for (const [, value] of first) expect(value).toMatch(/^[0-9a-f]{48}$/);
    expect(new Set(first.map(([, value]) => value)).size).toBe(first.length);
    expect(statSync(made).mode & 0o777).toBe(0o700);
    run();
    expect(content()).toEqual(first);
  });
});

/** The folder of a package of the workspace, from the root. */
function folderOf(name: string): string {
  for (const parent of ["packages", "docker"]) {
    for (const entry of readdirSync(join(root, parent))) {
      const manifest = join(root, parent, entry, "package.json");
      if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === name) {
        return relative(root, join(root, parent, entry));
      }
    }
  }
  throw new Error(`there is no package ${name}`);
}

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
