import { timeInName } from '../../shared/local-time.ts';

/** A file of a series, as far as a card identifies it. */
export interface OnCard {
  readonly seriesId: string;
  readonly sequence: number;
  /** When it was begun. */
  readonly made: Date;
  /** MAC of its manifest, in hex. */
  readonly mac: string;
}

/** The beginning of a series' id, by which messages name it. */
export function shortSeriesId(seriesId: string): string {
  return seriesId.slice(0, 8);
}

/**
 * One line to keep with the passphrase: `series 6f0c1a2b, number 412, 2026-11-25, a41e 93bc`. A machine that does not
 * know the series cannot tell whether its storage was rolled back to an older state; somebody with this line can.
 */
export function seriesCard({ seriesId, sequence, made, mac }: OnCard): string {
  const day = timeInName(made).slice(0, 10);
  return `series ${shortSeriesId(seriesId)}, number ${sequence}, ${day}, ${mac.slice(0, 4)} ${mac.slice(4, 8)}`;
}
