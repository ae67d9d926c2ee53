import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** The stages of the design, and what each may import. The arrows point one way. */
const stages = {
  shared: ['shared'],
  protocol: ['protocol'],
  storage: ['storage', 'protocol', 'shared'],
  'vm-agent': ['vm-agent', 'storage', 'protocol', 'shared'],
  archive: ['archive', 'shared'],
  qubes: ['qubes', 'storage', 'shared'],
  transport: ['transport', 'storage', 'protocol', 'shared'],
  contents: ['contents', 'archive', 'qubes', 'shared'],
  backup: ['backup', 'contents', 'archive', 'qubes', 'transport', 'protocol', 'shared'],
  restore: ['restore', 'contents', 'archive', 'qubes', 'transport', 'protocol', 'shared'],
  forget: ['forget', 'contents', 'archive', 'qubes', 'transport', 'shared'],
  verify: ['verify', 'contents', 'archive', 'qubes', 'shared'],
  cli: [
    ...['cli', 'backup', 'restore', 'forget', 'verify', 'contents'],
    ...['archive', 'qubes', 'transport', 'protocol', 'shared'],
  ],
  // The windows start the command line; of it, they know the events.
  gui: ['gui', 'shared'],
};
const programs = {
  name: 'node:child_process',
  importNames: ['spawn', 'fork', 'exec', 'execFile'],
};
const inDom0 = [
  ...['archive', 'qubes', 'transport', 'contents'],
  ...['backup', 'restore', 'forget', 'verify', 'cli', 'gui'],
];
const folderOf = (stage) => (inDom0.includes(stage) ? `dom0-agent/${stage}` : stage);

export default defineConfig(
  { ignores: ['dist', 'protocol/generated', 'node_modules'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      eqeqeq: 'error',
    },
  },
  ...Object.entries(stages).map(([stage, allowed]) => ({
    files: [`${folderOf(stage)}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          // One place runs programs. What waits for one before it goes on, as for stty, uses spawnSync.
          paths:
            stage === 'shared' ? [] : [{ ...programs, message: 'see shared/child-process.ts' }],
          patterns: Object.keys(stages)
            .filter((other) => !allowed.includes(other))
            .map((other) => ({
              group: [`**/${other}/**`, ...(stage === 'gui' ? ['!**/cli/events.ts'] : [])],
              message: `${stage} does not import ${other}: see docs/design.md`,
            })),
        },
      ],
      // Only the command line speaks to the user.
      'no-console': 'error',
      // What these make differs by locale and by edition of Node: shared/local-time.ts formats times.
      'no-restricted-globals': ['error', 'Intl'],
      'no-restricted-syntax': [
        'error',
        'MemberExpression[property.name=/^(toLocale|toUTC|toDateS)/]',
      ],
    },
  })),
  {
    // All that the user is shown goes through one place, which makes it fit to be shown.
    files: ['dom0-agent/cli/**/*.ts'],
    ignores: ['dom0-agent/cli/{output,command-report,read-volume}.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        ...['stdout', 'stderr'].map((property) => ({
          object: 'process',
          property,
          message: 'the user is told through output.ts',
        })),
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'ImportDeclaration[source.value="node:process"] > ImportSpecifier[imported.name=/^std(out|err)$/]',
          message: 'the user is told through output.ts',
        },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: { globals: { console: 'readonly', process: 'readonly', URL: 'readonly' } },
  },
);
