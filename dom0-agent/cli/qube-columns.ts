import type { Qube } from '../qubes/qube.ts';

/** Heads of the columns that tell what a VM is, beside its name. */
export const QUBE_COLUMNS = ['class', 'template', 'net qube'] as const;

/** Those columns of a VM. Where no net qube was chosen, there is the system's default; a template has none. */
export function qubeColumns({ qubeClass, properties }: Qube): string[] {
  const chosen = properties.get('netvm') ?? (qubeClass === 'TemplateVM' ? '' : '(default)');
  return [qubeClass, properties.get('template') ?? '', chosen === '' ? 'none' : chosen];
}
