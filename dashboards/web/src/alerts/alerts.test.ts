import { describe, expect, test } from 'vitest'
import { readPairs, writePairs } from './metrics'
import { nice } from './nice'

describe('the labels of a threshold', () => {
  test('are read as they are written', () => {
    expect(readPairs('device=sda, mountpoint=~/data.*, state!=idle')).toEqual({ device: 'sda', mountpoint: '~/data.*', state: '!idle' })
    expect(readPairs('a=b=c')).toEqual({ a: 'b=c' })
    expect(readPairs(' , nothing, =x')).toEqual({})
  })
  test('are written as they are read', () => {
    const pairs = { device: 'sda', mountpoint: '~/data.*' }
    expect(readPairs(writePairs(pairs))).toEqual(pairs)
    expect(writePairs(undefined)).toBe('')
  })
})

test('a threshold that is dragged stops at numbers that people choose', () => {
  expect(nice(82.3456, 110)).toBe(82)
  expect(nice(0.82345, 1.1)).toBe(0.82)
  expect(nice(1_234_567_890, 2e9)).toBe(1_230_000_000)
  expect(nice(-3.21, 10)).toBe(-3.2)
})
