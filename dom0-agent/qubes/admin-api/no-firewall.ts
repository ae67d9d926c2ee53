/** A rule that lets everything through is what a VM without a firewall has. */
export const NO_FIREWALL = 'action=accept\n';
