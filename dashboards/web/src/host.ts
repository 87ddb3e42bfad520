import { computed } from '@preact/signals'
import { view } from './state'
import { reading } from './stream'

// The machine that the page shows: the one in the address, else the agent's own.
export const hostName = computed(() => view.value.host || (reading.value?.hostname ?? ''))
export const isOwnHost = computed(() => view.value.host === '' || view.value.host === reading.value?.hostname)
