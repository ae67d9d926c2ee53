/** How the processes of the tests use memory (vitest.config.ts) is not how the programs that they start do. */
delete process.env['MALLOC_ARENA_MAX'];
delete process.env['MALLOC_TRIM_THRESHOLD_'];
delete process.env['MALLOC_MMAP_THRESHOLD_'];
