import { describe, expect, it } from 'vitest';
import { domainOf, originOf } from '../../dom0-agent/backup/volume-identity.ts';
import type { Qube, Volume } from '../../dom0-agent/qubes/qube.ts';
import { qube } from '../restore/planning.ts';

const UUID = '95834ea7-e5da-439f-b3ab-935c91121d26';

const volume = (name: string): Volume => ({
  ...{ name, size: 1, usage: undefined, pool: 'lvm', vid: '', saveOnStop: true },
});

const work = (rest: Partial<Qube> = {}): Qube => qube('work', {}, { uuid: UUID, ...rest });

describe('a volume', () => {
  it('is known by the uuid of its VM, so that it stays the same when the VM is renamed', () => {
    expect(originOf(work(), volume('private'))).toBe(`${UUID}/private`);
    expect(originOf(work({ name: 'play' }), volume('private'))).toBe(`${UUID}/private`);
  });

  it('is known by the name of its VM where the system knows no uuids', () => {
    expect(originOf(work({ uuid: undefined }), volume('private'))).toBe('work/private');
  });

  it.each(['TemplateVM', 'StandaloneVM'] as const)(
    'that is the root of a %s is compared with other roots, and nothing else of it is',
    (qubeClass) => {
      expect(domainOf(work({ qubeClass }), volume('root'), 'domain')).toBe('roots');
      expect(domainOf(work({ qubeClass }), volume('private'), 'domain')).toBe(`${UUID}/private`);
    },
  );

  it('is compared with all others in a series that is meant to be so', () => {
    expect(domainOf(work(), volume('private'), 'all')).toBe('all');
  });

  it.each(['AppVM', 'DispVM'] as const)('of a %s is compared with itself only', (qubeClass) => {
    expect(domainOf(work({ qubeClass }), volume('root'), 'domain')).toBe(`${UUID}/root`);
    expect(domainOf(work({ qubeClass }), volume('private'), 'domain')).toBe(`${UUID}/private`);
  });
});
