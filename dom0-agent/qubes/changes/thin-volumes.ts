import { FailedError } from '../../../shared/errors.ts';
import type { RunProgram } from '../../../shared/run-program.ts';

/** A logical volume, as LVM reports it. UUIDs are without hyphens, as in the device mapper. */
export interface LogicalVolume {
  /** Without the volume group. */
  readonly name: string;
  readonly uuid: string;
  readonly groupUuid: string;
  /** In bytes. */
  readonly size: number;
  /** Its number in the pool's metadata; undefined if it is not a thin volume. */
  readonly thinId: number | undefined;
  readonly poolUuid: string;
  readonly originUuid: string;
  readonly tags: readonly string[];
}

const FIELDS = [
  ...['lv_name', 'lv_uuid', 'vg_uuid', 'lv_size', 'thin_id'],
  ...['pool_lv_uuid', 'origin_uuid', 'lv_tags'],
];

/** The volumes of a volume group, or one volume (`group/name`). Throws FailedError. */
export async function listVolumes(runAsRoot: RunProgram, what: string): Promise<LogicalVolume[]> {
  const form = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', FIELDS.join(',')];
  const report = parsed(await runAsRoot('lvm', ['lvs', ...form, '--', what]));
  const [first] = listIn(report, 'report');
  return listIn(first, 'lv').map(volumeFrom);
}

function volumeFrom(row: unknown): LogicalVolume {
  const text = (field: string): string => {
    const value = isRecord(row) ? row[field] : undefined;
    if (typeof value !== 'string') throw unknown();
    return value;
  };
  const uuid = (field: string): string => text(field).replaceAll('-', '');
  const thinId = text('thin_id');
  return {
    name: text('lv_name'),
    uuid: uuid('lv_uuid'),
    groupUuid: uuid('vg_uuid'),
    size: Number(text('lv_size')),
    thinId: thinId === '' ? undefined : Number(thinId),
    poolUuid: uuid('pool_lv_uuid'),
    originUuid: uuid('origin_uuid'),
    tags: text('lv_tags').split(','),
  };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw unknown();
  }
}

function listIn(value: unknown, key: string): unknown[] {
  const list = isRecord(value) ? value[key] : undefined;
  if (!Array.isArray(list)) throw unknown();
  return list;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function unknown(): FailedError {
  return new FailedError('lvm answered in a form that coffer does not know');
}
