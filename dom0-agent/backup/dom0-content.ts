import type { Report } from '../../shared/report.ts';
import type { Content } from '../archive/content.ts';
import type { QubeRow } from './backup-files.ts';
import type { ArchiveLayout } from './backup-formats.ts';
import { type HomeRemarks, homeTar, pathsTar } from './home-tar.ts';
import type { MeasuredPlan } from './plan-home.ts';
import { DOM0_PATHS } from './settings-files.ts';

/**
 * dom0's home and the chosen paths of its configuration, as far as they are in the plan. What was read, and what could
 * not be, is noted in the row, which they share.
 */
export function* contentOfDom0(
  { dom0Home, dom0Paths }: Pick<MeasuredPlan, 'dom0Home' | 'dom0Paths'>,
  { homePath }: ArchiveLayout,
  row: QubeRow,
  report: Report,
  signal: AbortSignal,
): Generator<Content, void, undefined> {
  if (dom0Home !== undefined) {
    const remarks = remarksOn('home', row, report);
    yield tree(homePath, homeTar(dom0Home.path, homePath, remarks, signal), row, report);
  }
  if (dom0Paths !== undefined) {
    const remarks = remarksOn('configuration', row, report);
    yield tree(DOM0_PATHS, pathsTar(dom0Paths.paths, DOM0_PATHS, remarks, signal), row, report);
  }
}

function remarksOn(what: string, row: QubeRow, report: Report): HomeRemarks {
  report.working('dom0', what);
  return {
    changed: (which) => report.warning(`dom0's ${what} was changed while it was read: ${which}`),
    unread: (which) => (row.failure = `not all of its ${what} could be read: ${which}`),
  };
}

function tree(path: string, tar: AsyncIterable<Buffer>, row: QubeRow, report: Report): Content {
  async function* counted(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of tar) {
      row.used += chunk.length;
      report.progress('dom0', chunk.length);
      yield chunk;
    }
  }
  return { kind: 'tree', path, tar: counted() };
}
