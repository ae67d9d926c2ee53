import { messageOf, RefusedError } from '../../../shared/errors.ts';

/** Where the driver `callback` is configured (qubes/storage/callback.py of qubes-core-admin). */
export const CALLBACK_CONFIGURATION = '/etc/qubes_callback.json';

/** Far more levels than anybody needs: detects a driver that wraps itself. */
const MOST_WRAPPED = 8;

/**
 * The driver `callback` wraps another driver and runs the user's commands around its operations. Returns
 * the settings of the wrapped driver, as `admin.pool.Info` would give them; those of other pools are
 * returned unchanged. coffer runs none of the commands: it reads the wrapped driver's volumes once qubesd
 * has set up the pool. Throws RefusedError when the configuration does not say.
 *
 * @param readConfiguration returns the text of `CALLBACK_CONFIGURATION`
 */
export async function beneathCallbacks(
  name: string,
  settings: ReadonlyMap<string, string>,
  readConfiguration: () => Promise<string>,
): Promise<ReadonlyMap<string, string>> {
  let beneath = settings;
  for (let depth = 0; beneath.get('driver') === 'callback'; depth++) {
    if (depth === MOST_WRAPPED) throw unclear(name, 'wraps drivers in an endless chain');
    const configurations = await readJson(name, readConfiguration);
    beneath = wrappedBy(name, beneath.get('conf_id') ?? '', configurations);
  }
  return beneath;
}

async function readJson(name: string, readText: () => Promise<string>): Promise<unknown> {
  try {
    return JSON.parse(await readText());
  } catch (error) {
    throw unclear(name, `has a configuration that cannot be read: ${messageOf(error)}`);
  }
}

function wrappedBy(name: string, id: string, configurations: unknown): Map<string, string> {
  const configuration = fieldOf(configurations, id);
  const driver = fieldOf(configuration, 'bdriver');
  if (typeof driver !== 'string') throw unclear(name, `has no "bdriver" for its conf_id "${id}"`);
  const args = fieldOf(configuration, 'bdriver_args') ?? {};
  const words = Object.entries(args).filter(([, value]) => typeof value !== 'object');
  return new Map([
    ...words.map(([key, value]) => [key, String(value)] as const),
    ['driver', driver],
  ]);
}

function fieldOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}

function unclear(name: string, what: string): RefusedError {
  return new RefusedError(
    `the storage pool ${name}, of type "callback", ${what} (${CALLBACK_CONFIGURATION})`,
  );
}
