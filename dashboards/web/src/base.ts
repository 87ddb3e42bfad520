// base is the path below which the agent serves this page, such as /sysotel behind a
// reverse proxy, '' for the root. It is that of the folder with the scripts: the agent
// need not know how a proxy changes addresses. Tests have no address.
const here = import.meta.url
export const base = here.startsWith('http') ? new URL('..', here).pathname.replace(/\/$/, '') : ''

// inside is a path of this site without the base.
export const inside = (path: string): string => (path.startsWith(base + '/') ? path.slice(base.length) : path)
