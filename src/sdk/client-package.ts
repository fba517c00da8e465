import type { SdkPackage } from './package.ts';

/** What differs between packages that run everywhere. */
export interface ClientPackage {
  readonly name: string;
  readonly description: string;
  readonly readme: string;
  /** Names that the package exports, beside types. */
  readonly exports: readonly string[];
  /** The build for script tags. */
  readonly script: string;
  /** Declarations beside `public.d.ts`, which it imports. */
  readonly declarations?: readonly string[];
}

const typesMts = './index.d.mts';
const typesCts = './index.d.cts';

/**
 * A package for browsers, Node and other runtimes, as modules of either kind and as a script, from the entries `node.ts`,
 * `web.ts` and `global.ts` of its folder.
 *
 * In Node, ESM and CJS importers share one instance (`node.mjs` only re-exports `node.cjs`), so that what is set up in one
 * kind of module holds for the other, and `instanceof` is true across both.
 */
export function clientPackage(of: ClientPackage): SdkPackage {
  const { name, description, readme, exports, script, declarations = [] } = of;
  return {
    name,
    description,
    readme,
    bundles: [
      { entry: 'node.ts', file: 'node.cjs', format: 'cjs', platform: 'node' },
      { entry: 'web.ts', file: 'index.cjs', format: 'cjs', platform: 'neutral' },
      { entry: 'web.ts', file: 'index.mjs', format: 'esm', platform: 'neutral' },
      { entry: 'global.ts', file: script, format: 'iife', platform: 'browser', minify: true },
    ],
    copies: {
      'index.d.mts': 'public.d.ts',
      'index.d.cts': 'public.d.ts',
      ...Object.fromEntries(declarations.map((file) => [file, file])),
    },
    texts: { 'node.mjs': `export { ${exports.join(', ')} } from './node.cjs';\n` },
    manifest: {
      sideEffects: [`./${script}`],
      main: './index.cjs',
      module: './index.mjs',
      types: typesCts,
      unpkg: `./${script}`,
      jsdelivr: `./${script}`,
      exports: {
        '.': {
          node: {
            import: { types: typesMts, default: './node.mjs' },
            require: { types: typesCts, default: './node.cjs' },
          },
          import: { types: typesMts, default: './index.mjs' },
          require: { types: typesCts, default: './index.cjs' },
        },
        [`./${script}`]: `./${script}`,
        './package.json': './package.json',
      },
    },
  };
}
