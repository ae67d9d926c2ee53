/** Files that are bundled into the program as text: tools/build/build.mjs, and vitest.config.ts for tests. */
declare module '*.sh' {
  const text: string;
  export default text;
}

declare module '*.md' {
  const text: string;
  export default text;
}
