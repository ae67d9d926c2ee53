import * as fc from 'fast-check';

import type { DeviceAssignment } from '../../../dom0-agent/qubes/qube.ts';
import type {
  QubesStore,
  StoredQube,
  StoredVolume,
} from '../../../dom0-agent/qubes/xml/qubes-store.ts';
import { STANDARD_LABELS } from '../../../dom0-agent/qubes/xml/qubes-store.ts';

const AWKWARD = ['<', '>', '&', '"', "'", '\t', '\n', '\r', ';', ']]>', 'é', '日', '😀'];

/** Any text that XML can contain, with many characters that need escaping. */
const text = fc.string({ unit: fc.constantFrom('a', '0', ' ', ...AWKWARD), maxLength: 20 });
const key = fc
  .stringMatching(/^[a-z][a-z0-9_.-]{0,10}$/)
  .filter((name) => !['name', 'qid', 'uuid', 'label', 'mode', 'identity'].includes(name));
const settings = fc
  .uniqueArray(fc.tuple(key, text), { selector: ([name]) => name, maxLength: 4 })
  .map((pairs) => new Map(pairs));

const device: fc.Arbitrary<DeviceAssignment> = fc.record({
  deviceClass: fc.constant('pci'),
  backend: fc.constantFrom('dom0', 'sys-usb'),
  port: text,
  fields: fc
    .tuple(fc.constantFrom('required', 'auto-attach'), text, settings)
    .map(
      ([mode, id, options]) =>
        new Map([
          ['mode', mode],
          ['device_id', id],
          ...Array.from(options, ([name, value]): [string, string] => [`_${name}`, value]),
        ]),
    ),
});

const volume = (name: string): fc.Arbitrary<StoredVolume> =>
  fc.record({
    name: fc.constant(name),
    size: fc.nat(Number.MAX_SAFE_INTEGER),
    usage: fc.constant(undefined),
    pool: text,
    vid: text,
    saveOnStop: fc.boolean(),
    revisionsToKeep: fc.option(fc.integer({ min: -1, max: 999_999_999 }), { nil: undefined }),
    ephemeral: fc.option(fc.boolean(), { nil: undefined }),
    settings: fc.constant(new Map([['rw', 'True']])),
  });

const qubes: fc.Arbitrary<StoredQube[]> = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z][a-z0-9_.-]{0,30}$/).filter((n) => n !== 'dom0' && n !== 'none'),
    qubeClass: fc.constantFrom('TemplateVM', 'StandaloneVM', 'AppVM', 'DispVM'),
    qid: fc.integer({ min: 1, max: 65_535 }),
    uuid: fc.option(fc.uuid(), { nil: undefined }),
    label: fc.constantFrom(...STANDARD_LABELS.map(({ name }) => name)),
    properties: settings,
    features: settings,
    tags: fc.array(key, { maxLength: 4 }).map((tags) => new Set(tags)),
    devices: fc.array(device, { maxLength: 3 }),
    volumes: fc.tuple(volume('root'), volume('private')).map((volumes) => [...volumes]),
  }),
  { selector: ({ name }) => name, maxLength: 5 },
);

export const dom0: StoredQube = {
  name: 'dom0',
  qubeClass: 'AdminVM',
  qid: 0,
  uuid: undefined,
  label: 'black',
  properties: new Map(),
  features: new Map(),
  tags: new Set(),
  devices: [],
  volumes: [],
};

export const arbitraryStore: fc.Arbitrary<QubesStore> = fc
  .tuple(qubes, settings, settings)
  .map(([others, properties, pool]) => ({
    labels: STANDARD_LABELS,
    pools: new Map([['varlibqubes', pool]]),
    properties,
    qubes: [dom0, ...others.map((qube, i) => ({ ...qube, qid: i + 1 }))],
    unknownDomains: [],
  }));
