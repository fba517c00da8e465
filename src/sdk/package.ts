/** One bundle of a package: an entry of the SDK's folder with all that it imports, in one file. */
export interface SdkBundle {
  /** The source, relative to the SDK's folder. */
  readonly entry: string;
  /** The file it becomes, relative to the package's root. */
  readonly file: string;
  readonly format: 'esm' | 'cjs' | 'iife';
  readonly platform: 'node' | 'browser' | 'neutral';
  readonly minify?: boolean;
}

/** A package to publish, as `build.ts` makes it. Version, license and `files` are the same for all and added there. */
export interface SdkPackage {
  readonly name: string;
  readonly description: string;
  /** The file that becomes the package's README.md, relative to the SDK's folder. */
  readonly readme: string;
  readonly bundles: readonly SdkBundle[];
  /** Files taken over as they are: target in the package -> source in the SDK's folder. */
  readonly copies: Readonly<Record<string, string>>;
  /** Files written here: target in the package -> text. */
  readonly texts: Readonly<Record<string, string>>;
  /** Packages of the same version that it needs. */
  readonly dependsOn?: readonly string[];
  /** The rest of its package.json. */
  readonly manifest: Readonly<Record<string, unknown>>;
}

/** One SDK. */
export interface Sdk {
  /** Its folder beside this file. */
  readonly folder: string;
  /** In the order of their dependencies. */
  readonly packages: readonly SdkPackage[];
  /** The script that the server offers to pages, from the folder of the built packages; its last part is its name there. */
  readonly browserFile: string;
}
