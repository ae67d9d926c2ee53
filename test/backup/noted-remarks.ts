import type { HomeRemarks } from '../../dom0-agent/backup/home-tar.ts';

/** Collects the remarks of reading a home. */
export class NotedRemarks implements HomeRemarks {
  readonly changes: string[] = [];
  readonly gaps: string[] = [];

  changed(what: string): void {
    this.changes.push(what);
  }

  unread(what: string): void {
    this.gaps.push(what);
  }
}
