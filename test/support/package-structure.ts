import { isBuiltin } from "node:module";
import { posix } from "node:path";

/** What the rules read of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, string>>;
  readonly publishConfig?: { readonly exports?: Readonly<Record<string, unknown>> };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A folder with a package.json, and its TypeScript: paths are relative to it, with slashes. */
export interface Package {
  readonly manifest: Manifest;
  readonly files: Readonly<Record<string, string>>;
}

export interface StructureRules {
  /** Which packages of ours each may import. */
  readonly mayImport: Readonly<Record<string, readonly string[]>>;
  /** Peers that the caller injects, and the file that says by which structure. */
  readonly injected: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const TEST = /\.test(?:-d)?\.ts$/;

/** Everything that one package does against the rules: one sentence each. */
export function structureProblems(of: Package, rules: StructureRules): readonly string[] {
  const { manifest } = of;
  if (rules.mayImport[manifest.name] === undefined) {
    return [`${manifest.name} stands in no table of who may import whom`];
  }
  return [
    ...directionProblems(of, rules),
    ...declarationProblems(of, rules),
    ...(manifest.private === true ? [] : pinProblems(of)),
  ];
}

/** The specifiers that a source imports, however: statically, for types alone, or when it is asked to. */
export function specifiersOf(text: string): readonly string[] {
  // Examples in comments import what their reader has.
  const code = text.replaceAll(/^\s*(?:\/?\*|\/\/).*$/gm, "");
  const found = [
    ...code.matchAll(/^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/gm),
    ...code.matchAll(/^\s*import\s*["']([^"']+)["']/gm),
    ...code.matchAll(
      /\b(?:import|require|require\.resolve|import\.meta\.resolve)\s*\(\s*["'`]([^"'`]+)["'`]/g,
    ),
  ];
  return found.flatMap(([, specifier]) => (specifier === undefined ? [] : [specifier]));
}

function directionProblems({ manifest, files }: Package, rules: StructureRules): string[] {
  const may = rules.mayImport[manifest.name] ?? [];
  const problems: string[] = [];
  const isOurs = (name: string) => name in rules.mayImport || name.startsWith("@behalf/");
  for (const [path, text] of shipped(files)) {
    for (const specifier of specifiersOf(text)) {
      const name = packageOf(specifier);
      if (name === null && leaves(path, specifier)) {
        problems.push(`${path} reaches into another package by its path: ${specifier}`);
      }
      if (name !== null && isOurs(name) && !may.includes(name)) {
        problems.push(`${path} imports ${name}, which ${manifest.name} may not`);
      }
    }
  }
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"] as const) {
    for (const name of Object.keys(manifest[kind] ?? {})) {
      if (isOurs(name) && !may.includes(name)) {
        problems.push(`${kind} names ${name}, which ${manifest.name} may not import`);
      }
    }
  }
  return problems;
}

function declarationProblems({ manifest, files }: Package, rules: StructureRules): string[] {
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = manifest;
  const injected = rules.injected[manifest.name] ?? {};
  const declared = { ...dependencies, ...peerDependencies, ...optionalDependencies };
  const imported = new Set<string>();
  const problems: string[] = [];
  for (const [path, text] of shipped(files)) {
    for (const specifier of specifiersOf(text)) {
      const name = packageOf(specifier);
      if (name === null || isBuiltin(specifier)) continue;
      imported.add(name);
      if (!(name in declared)) {
        problems.push(`${path} imports ${name}, which is neither a dependency nor a peer`);
      }
    }
  }
  for (const name of Object.keys(dependencies)) {
    if (!imported.has(name)) problems.push(`nothing imports the dependency ${name}`);
  }
  for (const name of Object.keys(peerDependencies)) {
    const structure = injected[name];
    if (imported.has(name) || (structure !== undefined && structure in files)) continue;
    problems.push(`nothing imports the peer ${name}, and no file says by which structure it comes`);
  }
  for (const name of Object.keys(injected)) {
    if (!(name in peerDependencies)) problems.push(`${name} is injected, and not a peer`);
    if (imported.has(name)) problems.push(`${name} is imported, so it is not injected`);
  }
  return problems;
}

/** Public names can only be kept stable where a test lists them, for each entry. */
function pinProblems({ manifest, files }: Package): string[] {
  const problems: string[] = [];
  const entries = manifest.exports ?? {};
  const published = Object.keys(manifest.publishConfig?.exports ?? entries);
  for (const entry of Object.keys(entries)) {
    if (!published.includes(entry)) problems.push(`the entry ${entry} is not published`);
  }
  for (const [entry, target] of Object.entries(entries)) {
    if (!target.endsWith(".ts")) continue;
    const source = posix.normalize(target);
    const isPinned = Object.entries(files).some(
      ([path, text]) => TEST.test(path) && pins(path, text, source),
    );
    if (!isPinned) problems.push(`no test lists the names of the entry ${entry} (${source})`);
  }
  return problems;
}

function pins(path: string, text: string, source: string): boolean {
  for (const [, name, specifier] of text.matchAll(/^import \* as (\w+) from "([^"]+)";/gm)) {
    if (specifier === undefined || !specifier.startsWith(".")) continue;
    if (posix.join(posix.dirname(path), specifier) !== source) continue;
    const listed = `expect\\(Object\\.keys\\(${name}\\)\\.toSorted\\(\\)\\)\\.toEqual\\(\\[`;
    if (new RegExp(listed).test(text)) return true;
  }
  return false;
}

function shipped(files: Package["files"]): readonly (readonly [string, string])[] {
  return Object.entries(files).filter(([path]) => !TEST.test(path));
}

/** `null` for a path. */
function packageOf(specifier: string): string | null {
  if (specifier.startsWith(".") || specifier.startsWith("/") || specifier.startsWith("file:")) {
    return null;
  }
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function leaves(path: string, specifier: string): boolean {
  return !specifier.startsWith(".") || posix.join(posix.dirname(path), specifier).startsWith("../");
}
