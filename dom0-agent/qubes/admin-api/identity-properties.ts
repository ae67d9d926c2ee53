/**
 * What is set by hand but is not a setting: it says what the VM is called and how it came to be
 * here (qubesadmin/backup/restore.py leaves the same ones out).
 */
export const NOT_SETTINGS = new Set(['name', 'qid', 'uuid', 'label', 'dispid', 'installed_by_rpm']);
