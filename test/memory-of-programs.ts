/** The settings of malloc for the processes of the tests (vitest.config.ts) are not for the programs that they start. */
delete process.env['MALLOC_ARENA_MAX'];
delete process.env['MALLOC_TRIM_THRESHOLD_'];
delete process.env['MALLOC_MMAP_THRESHOLD_'];
