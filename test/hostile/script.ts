import type { Service } from '../../protocol/conversation.ts';

/** What the hostile agent does next. Bytes are in base64, so that a script is JSON. */
export type Step =
  /** Waits for a message of this kind from dom0. */
  | { readonly hear: string }
  /** Sends these bytes, valid or not, `times` times, with a pause of some milliseconds after each. */
  | { readonly say: string; readonly times?: number; readonly pause?: number }
  /** Sends one byte at a time, with a pause of some milliseconds after each. */
  | { readonly drip: string; readonly pause: number }
  /**
   * Answers Read, Open and Want with this file, as an honest agent does, until `upTo` bytes were sent. `few`: with so many
   * bytes of it in each message, beside a field of `padding` bytes that coffer does not know.
   */
  | {
      readonly serve: string;
      readonly upTo: number;
      readonly few?: number;
      readonly padding?: number;
    }
  /** Relays to this honest agent, until `upTo` messages of honest agents of this service were sent in this home. */
  | { readonly relay: string; readonly upTo: number }
  /** Receives Data as an honest agent does, for so many bytes or until End. */
  | { readonly take: number | 'all' }
  /** After `take: 'all'`: answers a correct Stored, except for the given fields. */
  | { readonly confirm: { readonly bytes?: number; readonly sha256?: string } }
  /** Writes to standard error. */
  | { readonly grumble: string; readonly times?: number }
  /** Closes its standard output, but keeps running. */
  | { readonly hangUp: true }
  /** Does nothing, reads nothing, and ignores signals. */
  | { readonly play: 'dead' }
  | { readonly end: number }
  | { readonly kill: NodeJS.Signals };

/** The steps for each service. Without steps, and after them, the agent waits until dom0 disconnects. */
export type Script = Partial<Record<Service, readonly Step[]>>;

/** In the storage VM's home: the script for the agent, and the agent's notes. */
export const SCRIPT_FILE = 'hostile-script.json';
export const NOTES_FILE = 'hostile-notes.jsonl';

/** In the same directory: a byte for each message of the honest agents of a service that was relayed. */
export function saidFile(service: Service): string {
  return `hostile-said-${service}`;
}

/** A line of NOTES_FILE, written when the agent starts. */
export interface Notes {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}
